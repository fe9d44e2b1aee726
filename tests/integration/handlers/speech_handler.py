"""Where somebody speaks in a WAV file: the scores of Silero's model for each 32 ms."""

import io
import wave

import torch
from ts.torch_handler.base_handler import BaseHandler

RATE, WINDOW = 16000, 512


class SpeechHandler(BaseHandler):
    def preprocess(self, data):
        return [self.samples(row.get("data") or row.get("body")) for row in data]

    def samples(self, body):
        with wave.open(io.BytesIO(bytes(body))) as file:
            frames = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16)
            samples = frames.to(torch.float32) / 32768
            return samples[:: max(1, file.getframerate() // RATE)]

    def inference(self, data, *args, **kwargs):
        return [self.scores(samples) for samples in data]

    def scores(self, samples):
        self.model.reset_states()
        whole = len(samples) // WINDOW * WINDOW
        with torch.inference_mode():
            return [self.model(part, RATE).item() for part in samples[:whole].split(WINDOW)]

    def postprocess(self, data):
        return data
