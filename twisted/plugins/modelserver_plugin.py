from twisted.application.service import ServiceMaker

modelserver = ServiceMaker(
    "modelserver", "modelserver.tap", "Serve machine learning models over HTTP.", "modelserver"
)
