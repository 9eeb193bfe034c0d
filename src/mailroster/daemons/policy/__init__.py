"""The policy service: decides what Postfix can't decide by its tables before it accepts a message.

- Recipients: Postfix accepts every alias. The service expands a recipient through aliases, patterns
  and catch-alls. It rejects a recipient that leads only to local addresses that do not exist, so
  that no bounce is necessary.
- Quotas: Dovecot's quota-status knows only mailboxes. The service queries it for each mailbox that
  a recipient leads to.
- Senders: whether a pattern or a domain alias (`@old @new`) leads an address to the account that
  sends as it.

A failure never stops mail: Postfix waits a limited time for an answer, then goes on without it
(check_policy_service with a timeout and default_action=DUNNO), and the service answers DUNNO after
any error. It reads the tables of Postfix, one row at a time, and runs as Postfix's own user, who
can read no other file of mailroster.
"""
