"""A chat model with state. Runs in: a Python worker, as `chat.mjs` starts it."""

import asyncio

from jshost import BaseController


class Controller(BaseController):
    model = "parrot"

    def __init__(self):
        """Here a real one loads its weights, once."""
        self.history = []

    async def complete(self, prompt, delay_s=0.02):
        """Sends the answer's tokens as they come; returns how many there were."""
        self.history.append(prompt)
        words = f"You said: {prompt} (message {len(self.history)} to {self.model})".split()
        for word in words:
            await asyncio.sleep(delay_s)
            self.send(f"{word} ")
        return {"tokens": len(words)}

    def forget(self):
        self.history.clear()
