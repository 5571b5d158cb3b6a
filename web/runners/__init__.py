"""What the controller does by itself, again and again. Each module has one `async def tick(...)`."""
