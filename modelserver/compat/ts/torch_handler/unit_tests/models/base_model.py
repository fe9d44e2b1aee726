"""A model for tests of handlers."""

import torch

from modelserver.compat.borrowed import borrowed

__all__ = ["ArgmaxModel", "save_pt_file", "torch"]


class ArgmaxModel(torch.nn.Module):
    """Answers each row with the place of its largest value."""

    def forward(self, *input):
        """The places, one for each row of the first argument."""
        return torch.argmax(input[0], dim=1)


def save_pt_file(filepath="base_model.pt"):
    """Write the state of the model into a file."""
    torch.save(ArgmaxModel().state_dict(), filepath)


__getattr__ = borrowed(__name__)
