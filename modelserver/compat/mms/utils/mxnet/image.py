"""Images as arrays of MXNet, which must be installed; an image has the dimensions HWC unless said."""

from base64 import b64encode
from io import BytesIO

from modelserver.compat.borrowed import borrowed

__all__ = ["color_normalize", "fixed_crop", "read", "resize", "transform_shape", "write"]


def _image():
    """
    MXNet's functions for images.

    :raises ImportError: it is not installed.
    """
    from mxnet import image

    return image


def _require_order(order, known):
    assert order in known, f"dim_order is one of {', '.join(known)}, not {order}"


def transform_shape(img_arr, dim_order="NCHW"):
    """A batch of one image, in the order NCHW or NHWC."""
    _require_order(dim_order, ("NCHW", "NHWC"))
    arranged = img_arr.transpose((2, 0, 1)) if dim_order == "NCHW" else img_arr
    return arranged.expand_dims(axis=0)


def read(buf, flag=1, to_rgb=True, out=None):
    """Decode an image; ``flag`` 0 makes it grey."""
    return _image().imdecode(buf, flag, to_rgb, out)


def write(img_arr, flag=1, format="jpeg", dim_order="CHW"):
    """
    An image as base64 text.

    :param flag: 1 for an image in colours, 0 for a grey one.
    :param dim_order: CHW or HWC.
    """
    from PIL import Image

    _require_order(dim_order, ("CHW", "HWC"))
    arranged = img_arr.transpose((1, 2, 0)) if dim_order == "CHW" else img_arr
    pixels = arranged.astype("uint8")
    pixels = pixels.asnumpy() if hasattr(pixels, "asnumpy") else pixels
    file = BytesIO()
    Image.fromarray(pixels if flag == 1 else pixels.reshape(pixels.shape[:2])).save(file, format)
    return b64encode(file.getvalue()).decode()


def resize(src, new_width, new_height, interp=2):
    """An image of another size; ``interp`` is a number of OpenCV's interpolations."""
    return _image().imresize(src, new_width, new_height, interp)


def fixed_crop(src, x0, y0, w, h, size=None, interp=2):
    """A part of an image, resized to ``size`` (width, height) if that is given."""
    return _image().fixed_crop(src, x0, y0, w, h, size, interp)


def color_normalize(src, mean, std=None):
    """An image minus the mean of its colours, divided by their deviation."""
    return _image().color_normalize(src.astype("float32"), mean, std)


__getattr__ = borrowed(__name__)
