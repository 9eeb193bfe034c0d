"""Hashes that other programs made."""

#: Hashes of other systems, and of schemes that Dovecot wants to be named.
FOREIGN = (
    "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$eUrvXkOdFDeDJAbbtTDEFNSVQCE7UVvWDwFOJ8mJ4kM",
    "$argon2i$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$eUrvXkOdFDeDJAbbtTDEFNSVQCE7UVvWDwFOJ8mJ4kM",
    "{CRYPT}$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$eUrvXkOdFDeDJAbbtTDEFNSVQCE7UVvWDwFOJ8mJ4kM",
    "{BLF-CRYPT}$6$abcdefgh$def",
    "$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2",
    "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
    "$P$BRXLWoVTZ5LQUNqmVYBG1Ry2xQfbfG/",
    "$S$Dabcdefgh",
    "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
)
