"""The provider's agent."""
