// Package scripts tells what users do on the command line and what they see,
// one story a file, on the in-process cluster and its fake clock.
//
// Each story begins with a manager m1, the workers w1 and w2, and the machine
// i1 that is in no cluster. Beside testscript's own commands there are:
//
//	muster [@NODE] STATUS ARGS...    run a command on m1, or another machine
//	image NAME [KEY=VALUE...]        say what tasks of an image do from now on:
//	                                 exit=STATUS after a second or after=DURATION,
//	                                 start=DURATION and stop=DURATION that they take
//	join NODE FILE                   join m1's cluster by the token in a file
//	pass DURATION                    let time pass
//	crash NODE                       cut the power of a machine
//
// Every task has said one line, "hello from NODE", a minute before one looks.
//
// What the README and the pages of docs/ show is tried here too. Each page is a
// story of its own, on the same cluster with two idle machines more, i2 and i3.
// Its blocks of commands begin with one of
//
//	```console          run on m1
//	```console NODE     run on another machine
//	```console real     not run, as it needs real machines; that muster has these
//	                    commands and flags, and make these targets, is checked
//
// A command stands behind "$ " or "# ". Two spaces and "#" begin a comment;
// "exit status N" in it says that the command fails. Output that is shown must be
// what the command prints, where "…" stands for any text and alone on a line for
// any lines. A token that is written MSTR-1-… is the one last printed, and
// tasks of app:broken end at once.
package scripts
