"""From what a device delivers to what `Session.run` and `Session.stream` take. Nothing here is imported unasked.

| module | gives |
|---|---|
| `edgekit.adapters.images` | photos from files and arrays, upright, in the model's size and channel order |
| `edgekit.adapters.camera` | frames of picamera2 and OpenCV, in the model's channel order |
| `edgekit.adapters.audio` | windows with overlap over int16 sound, from chunks, wave files and pipes |
| `edgekit.adapters.sensor` | windows over rows of numbers; a ring buffer |

An adapter only rearranges: scaling is part of the bundle and stays with the session.
"""
