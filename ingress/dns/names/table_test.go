package names

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/miekg/dns"
)

// TestUpdate changes one thing at a time; the table before stays as it was.
func TestUpdate(t *testing.T) {
	ask := func(tab *Table, client, name string) string {
		return say(tab.Answer(tab.Client(client), dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET}))
	}
	before := table(t, shop())
	for name, tt := range map[string]struct {
		update       Update
		client, asks string
		want         string
	}{
		"an endpoint leaves": {
			Update{Services: []Service{{Key: Key{"front", "cache"}, Endpoints: []Endpoint{{Slot: "1", Addrs: addrs("10.1.0.21")}}}}},
			"f", "cache.", "A 10.1.0.21/0",
		},
		"an alias is dropped": {
			Update{Services: []Service{{Key: Key{"front", "cache"}, Endpoints: []Endpoint{{Slot: "1", Addrs: addrs("10.1.0.21")}}}}},
			"f", "site.", "A 10.1.0.2/1",
		},
		"an alias was another's name": {Update{GoneServices: []Key{{"front", "Web"}}}, "f", "web.", "A 10.1.0.21/0, A 10.1.0.22/0"},
		"a service goes":              {Update{GoneServices: []Key{{"front", "web"}, {"nowhere", "web"}}}, "f", "www.", "others"},
		"a network goes":              {Update{GoneNetworks: []string{"front"}}, "f", "cache.", "others"},
		"a network is told again":     {Update{Networks: []Network{{ID: "front"}}}, "f", "cache.", "A 10.1.0.21/0, A 10.1.0.22/0"},
		"a client joins a network":    {Update{Clients: []Client{{ID: "f", Networks: []string{"back"}}}}, "f", "db.", "A 10.2.0.2/1"},
		"a client goes":               {Update{GoneClients: []string{"f"}}, "f", "web.", "others"},
		"all is told anew":            {Update{Whole: true, Networks: shop().Networks, Clients: shop().Clients}, "f", "web.", "others"},
	} {
		t.Run(name, func(t *testing.T) {
			was := ask(before, tt.client, tt.asks)
			after, err := before.Apply(&tt.update)
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(after, tt.client, tt.asks); got != tt.want {
				t.Errorf("%s is %s, want %s", tt.asks, got, tt.want)
			}
			if got := ask(before, tt.client, tt.asks); got != was {
				t.Errorf("the table before changed: %s is %s, was %s", tt.asks, got, was)
			}
		})
	}
}

// TestTwoOfOne: what one table becomes is nothing to what else is made of it.
func TestTwoOfOne(t *testing.T) {
	alike := func(i int) Service {
		return Service{Key: Key{"n", fmt.Sprint("s", i)}, Aliases: []string{"all"}, Virtual: addrs(fmt.Sprint("10.0.0.", i))}
	}
	base := table(t, &Update{Networks: []Network{{ID: "n"}}, Clients: []Client{{ID: "c", Networks: []string{"n"}}}})
	for i := 1; i <= 3; i++ {
		base, _ = base.Apply(&Update{Services: []Service{alike(i)}})
	}
	one, _ := base.Apply(&Update{Services: []Service{alike(4)}})
	other, _ := base.Apply(&Update{Services: []Service{alike(5)}})
	for want, tab := range map[string]*Table{"A 10.0.0.4/1": one, "A 10.0.0.5/1": other} {
		got := say(tab.Answer(tab.Client("c"), dns.Question{Name: "all.", Qtype: dns.TypeA, Qclass: dns.ClassINET}))
		if got != "A 10.0.0.1/1, A 10.0.0.2/1, A 10.0.0.3/1, "+want {
			t.Errorf("all is %s", got)
		}
	}
}

func TestUpdateOfNothing(t *testing.T) {
	tab, err := Empty().Apply(&Update{Index: 7, Services: []Service{{Key: Key{"lost", "web"}}}, Clients: []Client{{ID: "c"}}})
	if err == nil {
		t.Error("a service of no network is taken")
	}
	if tab.Index() != 7 || tab.Client("c") == nil {
		t.Error("the rest of the update did not apply")
	}
}

// TestDifferencesMakeTheWhole: after any updates the table is the one that its
// whole makes, indexes of aliases and addresses included.
func TestDifferencesMakeTheWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(kind string, n int) string { return fmt.Sprint(kind, rnd.IntN(n)) }
	tab := Empty()
	for range 500 {
		u := &Update{Networks: []Network{{ID: pick("n", 4)}}}
		for range 4 {
			s := Service{Key: Key{pick("n", 4), pick("s", 6)}, Aliases: []string{pick("a", 3), pick("s", 6), pick("A", 3)}}
			for range rnd.IntN(3) {
				s.Endpoints = append(s.Endpoints, Endpoint{Slot: pick("", 3), Addrs: addrs("10.0.0." + pick("", 9))})
			}
			u.Services = append(u.Services, s)
		}
		u.GoneServices = []Key{{pick("n", 4), pick("s", 6)}}
		u.Clients, u.GoneClients = []Client{{ID: pick("c", 5), Networks: []string{pick("n", 4), pick("n", 4)}}}, []string{pick("c", 5)}
		if rnd.IntN(9) == 0 {
			u.GoneNetworks = []string{pick("n", 4)}
		}
		tab, _ = tab.Apply(u) // services of networks that are gone are left out
		again := table(t, tab.Whole())
		if !reflect.DeepEqual(again.Whole(), tab.Whole()) {
			t.Fatalf("the whole makes another table after %+v", u)
		}
		for i := range 5 {
			id := fmt.Sprint("c", i)
			for _, name := range []string{"s0.", "s1.", "a0.", "a1.", "A2.", "tasks.s2.", "1.s3.", "a1.2.", "3.0.0.10.in-addr.arpa."} {
				for _, kind := range []uint16{dns.TypeA, dns.TypePTR} {
					q := dns.Question{Name: name, Qtype: kind, Qclass: dns.ClassINET}
					if a, b := say(tab.Answer(tab.Client(id), q)), say(again.Answer(again.Client(id), q)); a != b {
						t.Fatalf("%s asks for %s: %s by differences, %s by the whole", id, name, a, b)
					}
				}
			}
		}
	}
}
