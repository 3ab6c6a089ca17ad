"""What a device is and what it can run: targets, operator rules, and the reader of .tflite files."""
