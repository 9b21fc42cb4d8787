package text

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// MaxAsked bounds a text that somebody asks for, in bytes: Linux takes no
// longer argument or variable (MAX_ARG_STRLEN).
const MaxAsked = 128 << 10

// MaxWord is the longest argument or variable of a process in bytes: MaxAsked
// with the NUL behind it.
const MaxWord = MaxAsked - 1

// Check refuses a message, with ErrInvalidArgument and a line that names the
// field and quotes the value, that holds: a text that is not valid UTF-8,
// longer than MaxAsked, or with a NUL, which no system call takes; a number
// for a word, or a field, that this version does not know; a time or duration
// out of range.
func Check(m proto.Message) error {
	err := walk(m.ProtoReflect(), func(p place, s string) (string, error) { return s, checkString(p, s) })
	if err != nil {
		return err
	}
	if err := checkKnown(m.ProtoReflect()); err != nil {
		return err
	}
	return checkWords(m.ProtoReflect())
}

func checkString(p place, s string) error {
	why := ""
	switch {
	case !utf8.ValidString(s):
		why = "is not valid UTF-8"
	case strings.Contains(s, "\x00"):
		why = "has a NUL character"
	case len(s) > MaxAsked:
		why = fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), MaxAsked)
	default:
		return nil
	}
	return fmt.Errorf("%s %s: %s: %w", name(p.field), Quote(s), why, errdefs.ErrInvalidArgument)
}

// CheckLine refuses a value of the kind named that is not one line of
// characters which a terminal shows.
func CheckLine(what, s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == '\n' || r == '\t' || steers(r) }) {
		return fmt.Errorf("%s %s: use one line without control characters: %w", what, Quote(s), errdefs.ErrInvalidArgument)
	}
	return nil
}

// name is what people call a field.
func name(fd protoreflect.FieldDescriptor) string {
	return strings.ReplaceAll(string(fd.Name()), "_", " ")
}

// Quote writes a value for a message: what is no visible text as Go writes it,
// and of a long one the beginning.
func Quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// checkWords checks what is written as a number.
func checkWords(m protoreflect.Message) (err error) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = checkWord(fd.MapValue(), v)
				return err == nil
			})
		case fd.IsList():
			for i := range v.List().Len() {
				if err = checkWord(fd, v.List().Get(i)); err != nil {
					return false
				}
			}
		default:
			err = checkWord(fd, v)
		}
		return err == nil
	})
	return err
}

func checkWord(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if err := fault(fd, v); err != nil || fd.Kind() != protoreflect.MessageKind {
		return err
	}
	return checkWords(v.Message())
}

// fault says why v is no word that this version knows, or no time or duration;
// nil for all else.
func fault(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch fd.Kind() {
	case protoreflect.EnumKind:
		if words := fd.Enum().Values(); words.ByNumber(v.Enum()) == nil {
			return fmt.Errorf("%s %d: this version knows %d to %d: %w",
				name(fd), v.Enum(), words.Get(0).Number(), words.Get(words.Len()-1).Number(), errdefs.ErrInvalidArgument)
		}
	case protoreflect.MessageKind:
		valid := func() error { return nil }
		switch m := v.Message().Interface().(type) {
		case *durationpb.Duration:
			valid = m.CheckValid
		case *timestamppb.Timestamp:
			valid = m.CheckValid
		}
		if err := valid(); err != nil {
			return fmt.Errorf("%s: %w: %w", name(fd), err, errdefs.ErrInvalidArgument)
		}
	default: // holds no word
	}
	return nil
}
