"""Both ends of a wire: frames, values, multipart bodies, events. Runs in: every process."""
