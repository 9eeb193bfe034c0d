"""The policy service: what Postfix's tables alone can't answer before a message is accepted.

- Over quota: Dovecot's quota-status knows mailboxes. Here the recipient is followed to its end,
  through aliases, patterns and catch-alls, and each mailbox that it leads to is asked for.
- Senders: whether a pattern of the regexp table leads an address to the account that sends as it.

It sits beside the mail, not on its path: Postfix waits a bounded time for an answer and then goes
on without it (check_policy_service with a timeout and default_action=DUNNO). Whatever goes wrong
here is answered with DUNNO as well. It reads the tables that Postfix reads, a row at a time, and
runs as Postfix's own user, who can read nothing else of ours.
"""
