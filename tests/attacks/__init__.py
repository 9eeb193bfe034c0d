"""What the four parties of docs/security.md try, each as a real process of another user."""
