"""From the numbers of a model to typed values: labels, boxes, masks and keywords. Nothing here is imported unasked.

| module | gives |
|---|---|
| `edgekit.tasks.classification` | `Label`: the best classes of one sample |
| `edgekit.tasks.detection` | `Box`: out of SSD, YOLO and TFLite_Detection_PostProcess outputs |
| `edgekit.tasks.segmentation` | a mask of classes, and the share of each |
| `edgekit.tasks.keyword` | `Keyword`: spoken words, out of the scores of overlapping windows |

All take a `Result` of one sample, or arrays of real values; all but the keyword spotter, which remembers, are pure
functions. What a layout means is said by the caller and never guessed from shapes.
"""
