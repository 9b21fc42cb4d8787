// Command packimage packs one of the images that the demo and the tests use.
//
//	packimage nginx|redis|busybox[:TAG] [-o FILE]
//
// It prints the path of the archive.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/muster/muster/integration/pack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "packimage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("packimage", flag.ContinueOnError)
	out := flags.String("o", "", "copy the archive to this `file`")
	cache := flags.String("cache", pack.DefaultCache(), "`directory` of what was packed before")
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return fmt.Errorf("name an image: nginx, redis or busybox, with a :TAG if you like")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	image, err := define(args[0])
	if err != nil {
		return err
	}
	path, err := pack.Debian(ctx, *cache, image)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := copyFile(path, *out); err != nil {
			return err
		}
		path = *out
	}
	_, err = fmt.Println(path)
	return err
}

// define finds the definition of an image by its reference.
func define(ref string) (pack.Image, error) {
	name, tag, found := strings.Cut(ref, ":")
	if !found {
		tag = "latest"
	}
	switch name {
	case "nginx":
		return pack.Nginx(name + ":" + tag), nil
	case "redis":
		return pack.Redis(name + ":" + tag), nil
	case "busybox":
		return pack.Busybox(name + ":" + tag), nil
	}
	return pack.Image{}, fmt.Errorf("image %q: not one of nginx, redis, busybox", name)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
