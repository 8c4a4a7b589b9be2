"""The demo application: five roles of one small image."""
