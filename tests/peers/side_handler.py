"""An asynchronous handler; the header X-Do says what it does."""

import asyncio
import json

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException


class SideHandler(BaseHandler):
    """Gives the event loop back before everything."""

    def initialize(self, ctx):
        self.loop = asyncio.get_event_loop()
        self.initialized = True

    async def handle(self, data, context):
        await asyncio.sleep(0)
        what = context.get_request_header(0, "X-Do")
        if what == "exception":
            raise ValueError("no")
        if what == "prediction":
            raise PredictionException("Unknown API endpoint", 404)
        if what == "count":
            return []
        if what == "parts":
            for part in range(3):
                send_intermediate_predict_response([f"{part};"], context.request_ids, "Result", 200, context)
                await asyncio.sleep(0)
        context.set_response_header(0, "x-first", what)
        same_id = context.get_request_id(0) == context.request_ids[0]
        on_loop = asyncio.get_running_loop() is self.loop
        return [json.dumps({"what": what, "row": sorted(data[0]), "same": same_id, "loop": on_loop})]
