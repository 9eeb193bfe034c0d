"""What the four parties of docs/topics/security.md try, each as a real process of another user."""
