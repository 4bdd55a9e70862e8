// Palette makes a PNG of a screen small: it reads one from standard input and writes it to standard output with the 256 colours that most of it has, each other colour by the one that is nearest.
package main

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"os"
	"slices"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "palette:", err)
		os.Exit(1)
	}
}

func run(r io.Reader, w io.Writer) error {
	img, err := png.Decode(r)
	if err != nil {
		return err
	}
	out := image.NewPaletted(img.Bounds(), paletteOf(img))
	known := map[color.Color]uint8{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := img.At(x, y)
			i, ok := known[c]
			if !ok {
				i = uint8(out.Palette.Index(c))
				known[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	return (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(w, out)
}

// paletteOf returns the colours that most of img has.
func paletteOf(img image.Image) color.Palette {
	const most = 256
	n := map[color.Color]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			n[img.At(x, y)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(n), func(a, b color.Color) int { return cmp.Compare(n[b], n[a]) })
	return all[:min(most, len(all))]
}
