"""Models of the Hugging Face hub."""

from modelserver.compat.borrowed import borrowed

__all__ = ["download_model"]

_PATTERNS = ["*.json", "*.pt", "*.bin", "*.txt", "*.model", "*.pth", "*.safetensors", "original/*"]


def download_model(
    model_id="meta-llama/Meta-Llama-3.1-8B-Instruct",
    revision="main",
    model_path=".cache",
    use_auth_token=True,
):
    """
    Download the files of a model that PyTorch can read; return the folder of the snapshot.

    :raises ImportError: huggingface_hub is not installed.
    """
    from huggingface_hub import snapshot_download

    return snapshot_download(
        repo_id=model_id,
        revision=revision,
        allow_patterns=_PATTERNS,
        cache_dir=model_path,
        token=use_auth_token,
    )


__getattr__ = borrowed(__name__)
