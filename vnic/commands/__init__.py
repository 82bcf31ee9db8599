"""Commands of the command line, one module each: `declare` its arguments, `execute` it."""
