// Package scripts tells what users do on the command line and what they see,
// one story a file, on the in-process cluster and its fake clock.
//
// Each story begins with a manager m1, the workers w1 and w2, and the machine
// i1 that is in no cluster. Beside testscript's own commands there are:
//
//	muster [@NODE] STATUS ARGS...    run a command on m1, or another machine
//	image NAME [KEY=VALUE...]        say what tasks of an image do from now on:
//	                                 exit=STATUS after a second, start=DURATION and
//	                                 stop=DURATION that they take
//	join NODE FILE                   join m1's cluster by the token in a file
//	pass DURATION                    let time pass
//	crash NODE                       cut the power of a machine
//
// Every task has said one line, "hello from NODE", a minute before one looks.
package scripts
