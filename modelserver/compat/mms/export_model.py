"""The command ``multi-model-export``, which is gone from the peer, too."""


def main():
    """Say what to use."""
    print("There is no multi-model-export any more: pack models with model-archiver.")
