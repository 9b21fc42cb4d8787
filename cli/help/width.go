package help

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// plainWidth is that of what is no terminal; narrowest the least that texts
// can be read in.
const (
	plainWidth = 80
	narrowest  = 40
)

// Width returns the columns that help may take: those that the environment's
// COLUMNS tells, else the terminal's, which is 0 where there is none.
func Width(columns string, terminal int) int {
	if n, err := strconv.Atoi(columns); err == nil && n > 0 {
		return max(n, narrowest)
	}
	if terminal > 0 {
		return max(terminal, narrowest)
	}
	return plainWidth
}

// wrapText wraps paragraphs, which blank lines part. A paragraph with indented
// lines is left as it is.
func wrapText(text string, width int) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		if !strings.Contains(p, "\n ") {
			paragraphs[i] = wrap(strings.Fields(p), width)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

func wrap(words []string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
