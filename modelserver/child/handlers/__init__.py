"""Handlers that come with the server."""

BUILT_IN: dict[str, str] = {
    "base_handler": "modelserver.child.handlers.base_handler",
    "image_classifier": "modelserver.child.handlers.image_classifier",
    "image_segmenter": "modelserver.child.handlers.image_segmenter",
    "object_detector": "modelserver.child.handlers.object_detector",
    "text_classifier": "modelserver.child.handlers.text_classifier",
}
"""The module of each handler that an archive may name; each defines exactly one class."""

LATE_IMPORTS = {
    "modelserver.child.handlers.base_handler": "torch",
    "modelserver.child.handlers.vision_handler": "PIL.Image",
}
"""What modules of ours import when they load a model, not when they are imported."""
