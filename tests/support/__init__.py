"""What tests share. Fixtures are in conftest.py; nothing here is a test."""
