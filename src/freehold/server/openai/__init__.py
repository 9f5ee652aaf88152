"""OpenAI's dialect: one folder per endpoint, each with request model, route and response."""
