from twisted.application.service import ServiceMaker

modelserver = ServiceMaker(  # type: ignore[no-untyped-call]  # Twisted's
    "modelserver", "modelserver.tap", "Serve machine learning models over HTTP.", "modelserver"
)
