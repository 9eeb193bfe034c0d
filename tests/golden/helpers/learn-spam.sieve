# Written by mailroster: changes made here are lost.
require ["copy", "environment", "imapsieve", "variables", "vnd.dovecot.pipe"];
if size :over 10M {
  stop;
}
if environment :matches "imap.user" "*" {
  set "user" "${1}";
}
pipe :copy :try "rspamd-learn" ["spam", "${user}"];
