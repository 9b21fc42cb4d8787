package service

import "math/rand/v2"

// randomName returns a name for a service that was given none, such as
// "calm-heron". It is a DNS label.
func randomName() string {
	adjectives := [...]string{
		"agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clever", "cosy", "crisp", "eager", "early",
		"fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "green", "happy", "hardy",
		"honest", "jolly", "keen", "kind", "light", "lively", "lucky", "mellow", "merry", "mild", "neat", "nimble",
		"noble", "patient", "plucky", "polite", "proud", "quick", "quiet", "ready", "rosy", "sharp", "silent", "silver",
		"smart", "snug", "solid", "spry", "stable", "sturdy", "sunny", "swift", "tidy", "trusty", "warm", "wise",
	}
	nouns := [...]string{
		"alder", "badger", "beech", "birch", "bison", "cedar", "crane", "curlew", "daisy", "eagle", "elder", "falcon",
		"fern", "finch", "fox", "gannet", "hare", "hawk", "hazel", "heron", "ibex", "iris", "ivy", "jay",
		"kestrel", "kite", "lark", "larch", "linden", "lynx", "maple", "marten", "merlin", "mole", "moth", "newt",
		"oak", "orchid", "osprey", "otter", "owl", "panda", "pine", "plover", "poplar", "poppy", "puffin", "quail",
		"raven", "robin", "rowan", "seal", "sorrel", "stork", "swan", "tern", "thrush", "viper", "willow", "wren",
	}
	return adjectives[rand.IntN(len(adjectives))] + "-" + nouns[rand.IntN(len(nouns))] //nolint:gosec // a name is no secret
}
