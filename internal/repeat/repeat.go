// Package repeat keeps what is said again and again from filling logs.
package repeat

import (
	"sync"
	"time"
)

// Every is how long something is not said again.
const Every = 10 * time.Second

// most is how many different things are said in Every: who makes others up must
// not fill a log either.
const most = 1000

// Filter lets what repeats pass once in Every. Its zero value is ready, and it is
// safe for use by several goroutines.
type Filter struct {
	mu   sync.Mutex
	said map[string]*said
}

type said struct {
	at      time.Time
	skipped int
}

// Pass reports whether what key stands for is to be said now, and how often it
// was not since it was said last.
func (f *Filter) Pass(key string) (skipped int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if s := f.said[key]; s != nil {
		if now.Sub(s.at) < Every {
			s.skipped++
			return 0, false
		}
		skipped = s.skipped
		*s = said{at: now}
		return skipped, true
	}
	if len(f.said) >= most {
		for k, s := range f.said {
			if now.Sub(s.at) >= Every {
				delete(f.said, k)
			}
		}
		if len(f.said) >= most {
			return 0, false
		}
	}
	if f.said == nil {
		f.said = make(map[string]*said)
	}
	f.said[key] = &said{at: now}
	return 0, true
}
