package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MaxObserved bounds a text that was observed, in bytes.
const MaxObserved = 4 << 10

// cut ends a text of which more was said.
const cut = "…"

// Clean returns s as valid UTF-8 of at most limit bytes, in whole characters.
// What is no character, or one that steers terminals, becomes U+FFFD; lines
// stay lines, however they end, and tabs tabs.
func Clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:max(0, limit-len(cut))]
		for i := 0; i < utf8.UTFMax && len(s) > 0; i++ { // a character that the cut has halved
			if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
				break
			}
			s = s[:len(s)-1]
		}
		s += cut
	}
	if clean(s) {
		return s
	}
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.Map(func(r rune) rune {
		if steers(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(s) > limit { // the sign of replacement is longer than a byte
		return Clean(s, limit)
	}
	return s
}

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, steers) }

// steers reports whether a terminal does not show r but acts on it: control
// characters, and those that turn the direction of text around (the Unicode
// standard, annex 9, 2).
func steers(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
}

// CleanMessage cleans all texts in m, at any depth, to MaxObserved bytes each,
// and drops fields and words that this version does not know, and times that are
// none. It writes only where something has to change.
func CleanMessage(m proto.Message) {
	dropUnknown(m.ProtoReflect())
	walk(m.ProtoReflect(), func(_ place, s string) (string, error) { //nolint:errcheck // it refuses nothing
		return Clean(s, MaxObserved), nil
	})
}

// Each calls f with each text in m, at any depth, and whether it is the key of
// an entry of the field, until f returns an error, which it returns.
func Each(m proto.Message, f func(field protoreflect.FieldDescriptor, key bool, s string) error) error {
	return walk(m.ProtoReflect(), func(p place, s string) (string, error) { return s, f(p.field, p.key, s) })
}

// place is where a text stands.
type place struct {
	field protoreflect.FieldDescriptor
	// key: it is the key of an entry, not what stands in it.
	key bool
}

// walk calls f with each text in m and writes back what it returns, until it
// returns an error.
func walk(m protoreflect.Message, f func(place, string) (string, error)) (err error) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			err = walkMap(fd, v.Map(), f)
		case fd.IsList():
			err = walkList(fd, v.List(), f)
		default:
			err = one(fd, v, f, func(v protoreflect.Value) { m.Set(fd, v) })
		}
		return err == nil
	})
	return err
}

// one walks a value that stands by itself.
func one(fd protoreflect.FieldDescriptor, v protoreflect.Value, f func(place, string) (string, error), set func(protoreflect.Value)) error {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return walk(v.Message(), f)
	case protoreflect.StringKind:
		s, err := f(place{field: fd}, v.String())
		if err == nil && s != v.String() {
			set(protoreflect.ValueOfString(s))
		}
		return err
	default: // holds no text
		return nil
	}
}

func walkList(fd protoreflect.FieldDescriptor, list protoreflect.List, f func(place, string) (string, error)) error {
	if k := fd.Kind(); k != protoreflect.StringKind && k != protoreflect.MessageKind {
		return nil
	}
	for i := range list.Len() {
		if err := one(fd, list.Get(i), f, func(v protoreflect.Value) { list.Set(i, v) }); err != nil {
			return err
		}
	}
	return nil
}

func walkMap(fd protoreflect.FieldDescriptor, entries protoreflect.Map, f func(place, string) (string, error)) (err error) {
	type entry struct {
		was, is protoreflect.MapKey
		value   protoreflect.Value
	}
	var changed []entry
	entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		e := entry{k, k, v}
		if fd.MapKey().Kind() == protoreflect.StringKind {
			var s string
			if s, err = f(place{field: fd, key: true}, k.String()); err != nil {
				return false
			}
			e.is = protoreflect.ValueOfString(s).MapKey()
		}
		moved := e.is.String() != k.String()
		if fd.MapValue().Kind() == protoreflect.StringKind {
			var s string
			if s, err = f(place{field: fd}, v.String()); err != nil {
				return false
			}
			moved = moved || s != v.String()
			e.value = protoreflect.ValueOfString(s)
		} else if fd.MapValue().Kind() == protoreflect.MessageKind {
			err = walk(v.Message(), f)
		}
		if moved {
			changed = append(changed, e)
		}
		return err == nil
	})
	for _, e := range changed {
		entries.Clear(e.was)
	}
	for _, e := range changed {
		entries.Set(e.is, e.value)
	}
	return err
}
