"""Where frames go: an emulated wire, capture files, a TAP interface of the Linux kernel."""
