"""The policy service: what Postfix's tables alone can't answer before a message is accepted.

- Recipients: Postfix accepts whatever an alias names. Here the recipient is followed to its end,
  through aliases, patterns and catch-alls; one that ends only at addresses of ours that do not
  exist is refused, and there is no bounce.
- Quotas: Dovecot's quota-status knows mailboxes. It is asked about each mailbox at which a
  recipient ends.
- Senders: whether a pattern or a domain alias (`@old @new`) leads an address to the account that
  sends as it.

It sits beside the mail, not on its path: Postfix waits a bounded time for an answer and then goes
on without it (check_policy_service with a timeout and default_action=DUNNO). Whatever goes wrong
here is answered with DUNNO as well. It reads the tables that Postfix reads, a row at a time, and
runs as Postfix's own user, who can read nothing else of ours.
"""
