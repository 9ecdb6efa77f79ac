"""The doors that existing AI tools know: OpenAI's API and Ollama's, paid with keys that are wallets."""
