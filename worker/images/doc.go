// Package images keeps the images of a node: it loads them from archives,
// pulls them from registries, fetches them from other nodes, and gives them
// to other nodes. Content is addressed by digest and lives in containerd's
// content store; every image it hands out is unpacked and ready to run.
package images
