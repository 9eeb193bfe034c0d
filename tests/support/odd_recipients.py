"""Words that may stand where an alias has its recipients: what people write by mistake, what other
servers take, and every character in every place."""

_TEXT = r"""
john@far.test; john@far.test: john@far.test#x john@far.test. john@far.test.. john@.far.test
john@far..test /dev/null |cmd "|cmd" :include:/etc/passwd john@[127.0.0.1] john@[192.0.2.1]
john@[IPv6:::1] john@127.0.0.1 john@192.0.2.1 ghost *@far.test *@a.test john john@ @far.test.
john@far_x.test john@-far.test john@far-.test john@far*.test john@*.test john!far.test
far.test!john john%far.test john%far.test@b.test @far.test,@b.test:john@else.where.test
john@@far.test john@far@test <john@far.test> John<john@far.test> "john"@far.test "jo
hn"@far.test "john@far.test" 'john@far.test' john(comment)@far.test john@(c)far.test
john@far.test(comment) (comment)john@far.test john;x@far.test john:x@far.test john,x@far.test
john\\x@far.test john[x]@far.test jo"hn@far.test .john@far.test john.@far.test jo..hn@far.test
john/x@far.test john|x@far.test john$x@far.test ${john}@far.test $1@far.test -john@far.test
#john@far.test john#x@far.test mailto:john@far.test smtp:john@far.test lmtp:unix:/x discard:
error:no john@far.test? john@far.test! john!@far.test john@far.test|x john@far.test/x
john@far.test\\ john@fär.test jöhn@far.test john@FAR.test JOHN@a.test john@localhost john@com
john@far,test john+x@a.test +x@a.test john+@a.test +@a.test john@a.test; box@a.test; box@a.test:
box@a.test. box@a.test.. box@A.TEST. box@a.test# ;box@a.test =box@a.test ~box@a.test box~@a.test
`id`@a.test $(id)@a.test &x@a.test x&@a.test ? ! % @ . .. - -- _ + ; : , ' " \\ / | ~ $ & = ^ {
} ( ) < > [ ] !x x! %x x% @x x@ x@. .@x x.@x x;y x:y x,y x"y x'y x\\y x|y /x x/ ~/x ./x x=y {x}
(x) <x> [x] <> () [] {} "" '' "\\"" "@" "x"@ @"x" "x"x@a.test john@far.test;jane@far.test
john@far.test:jane@far.test john@far.test;, far:john@far.test; grp:john@far.test grp:;
x;y@a.test x:y@a.test box;@a.test box:@a.test ;@a.test :@a.test a!b!c a%b%c a!b%c a%b!c
a!b@a.test a%b@a.test a!b@far.test a%b@far.test @a.test:x@b.test @a.test:x box@a.test%
%box@a.test !box@a.test box!@a.test john@[far.test] john@far.test] [john@far.test]
john@[127.0.0.1 john@127.0.0.1] john@[] john@"far.test" john@far.test" john@'far.test'
john@far.test' john@far.test"x john@far.test) john@far.test( john@far.test< john@far.test>
john@far.test, john@far.test^ john@far.test~ john@far.test* john@far.test= john@far.test&
john@far.test$ john@far.test% john@far.test+ john@far.test_ john@far.test- john@far.test`
john@far.test{ john@far.test} john@fa$r.test john@fa%r.test john@fa!r.test john@fa&r.test
john@fa'r.test john@fa*r.test john@fa+r.test john@fa/r.test john@fa=r.test john@fa?r.test
john@fa^r.test john@fa`r.test john@fa{r.test john@fa|r.test john@fa}r.test john@fa~r.test
john@fa;r.test john@fa:r.test john@fa#r.test
"""
_PLACES = (
    "{}box@a.test",
    "bo{}x@a.test",
    "box{}@a.test",
    "box@{}a.test",
    "box@a{}.test",
    "box@a.{}test",
    "box@a.test{}",
    "x{}y",
    "{}x",
)
_CHARACTERS = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isalnum()]

#: Each once. None has a blank or a comma, which separate recipients.
ODD_RECIPIENTS = tuple(
    dict.fromkeys(
        word
        for word in (*_TEXT.split(), *(p.format(c) for p in _PLACES for c in _CHARACTERS))
        if "," not in word
    )
)
