module millrace/interop

go 1.26

require millrace v0.0.0

replace millrace => ../
