"""Programs that start and stop a server: ``modelserver serve``, and those of TorchServe and MMS."""
