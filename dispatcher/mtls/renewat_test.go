package mtls

import (
	"testing"
	"time"
)

func TestRenewAt(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		life   time.Duration
		random float64
		want   time.Duration // after it was made
	}{
		"earliest":         {100 * time.Hour, 0, 50 * time.Hour},
		"middle":           {100 * time.Hour, 0.5, 65 * time.Hour},
		"latest":           {100 * time.Hour, 1, 80 * time.Hour},
		"shortest allowed": {time.Hour, 0, 30 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := renewAt(made.Add(-Backdate), made.Add(tt.life), tt.random).Sub(made)
			if got.Round(time.Second) != tt.want {
				t.Errorf("renews after %v, want %v", got, tt.want)
			}
		})
	}
}
