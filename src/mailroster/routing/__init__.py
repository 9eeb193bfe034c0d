"""Where mail goes, exactly as Postfix decides it, and which account may send as which address."""
