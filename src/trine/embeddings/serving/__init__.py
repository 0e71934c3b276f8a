"""A model behind an OpenAI-compatible address.

schemas        what a request may hold, what an answer holds
batching       requests of many clients joined into one pass of the model
app            the FastAPI application
"""
