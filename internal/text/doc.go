// Package text is the door for what people, tasks, images, hosts and other
// machines say: it is data, and enters a message only as valid UTF-8, of
// bounded length and without characters that steer a terminal.
//
// What somebody observed is cleaned ([Clean], [CleanMessage]): it is told in
// any case, and rather with a sign of replacement than not at all. What
// somebody asks for is checked ([Check]): it is refused, by name, and nothing
// is changed. Both go through whole messages by reflection, so that a field
// that is added later is not forgotten.
package text
