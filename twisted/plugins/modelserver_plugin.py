from twisted.application.service import ServiceMaker


class _QuietMaker(ServiceMaker):
    """Its options are asked for where it is chosen; only then is anything of the server's imported."""

    @property
    def options(self) -> object:
        from modelserver.system.interrupts import end_quietly

        end_quietly()
        return super().options


modelserver = _QuietMaker(  # type: ignore[no-untyped-call]  # Twisted's
    "modelserver", "modelserver.tap", "Serve machine learning models over HTTP.", "modelserver"
)
