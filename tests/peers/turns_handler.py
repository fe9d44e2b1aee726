"""A handler with continuous batching: each part tells what it found; X-Do says how it is finished."""

import json

from ts.torch_handler.base_handler import BaseHandler

TURNS = 3


class TurnsHandler(BaseHandler):
    """Every request lives for three turns, unless nobody says so."""

    def initialize(self, ctx):
        self.context = ctx
        ctx.cache = {}
        self.initialized = True

    def handle(self, data, context):
        answers, what = [], ""
        for idx, row in enumerate(data):
            request_id = context.get_request_id(idx)
            turn = context.cache[request_id] = context.cache.get(request_id, 0) + 1
            what = context.get_request_header(idx, "X-Do")
            headers = context.get_all_request_header(idx)
            if turn == 1:
                context.set_response_header(idx, "x-first", what)
                if what == "status":
                    context.set_response_status(201, "Made", idx)
            told = {"turn": turn, "row": sorted(row), "headers": sorted(set(headers) - {"Host"})}
            answers.append(json.dumps(told))
        criteria = [self.criterion(request_id, what) for request_id in context.request_ids.values()]
        context.stopping_criteria = None if what == "none" else criteria
        return answers

    def criterion(self, request_id, what):
        def is_finished(answer):
            return None if what == "no word" else self.context.cache[request_id] == TURNS

        return is_finished
