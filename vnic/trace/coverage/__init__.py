"""Coverage that means something: what traces reached of the registers, of their resets and of the chimney."""
