"""Programs that pack model archives: ``modelserver archive``, and those of TorchServe and MMS."""
