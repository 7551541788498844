#!/bin/sh
# Makes sample.flv: 10 s of H.264 and AAC with a burnt-in clock and a key frame every 2 s.
# Needs ffmpeg with libx264 and a DejaVu font.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
clock="drawtext=fontfile=$font:fontsize=72:fontcolor=white:borderw=3:bordercolor=black@0.6"
title="drawtext=fontfile=$font:fontsize=26:fontcolor=white@0.9:borderw=2:bordercolor=black@0.5"
ffmpeg -y -loglevel error \
  -f lavfi -i "gradients=size=640x360:rate=25:duration=10:speed=0.03:nb_colors=4:c0=#0b3954:c1=#2a6f97:c2=#5b2a86:c3=#1b998b:seed=7" \
  -f lavfi -i "sine=frequency=330:beep_factor=3:sample_rate=44100:duration=10" \
  -vf "$clock:text='%{pts\\:hms}':x=(w-tw)/2:y=(h-th)/2,$title:text='flvcast\: one film, many peers':x=(w-tw)/2:y=h-60" \
  -c:v libx264 -preset slow -profile:v main -pix_fmt yuv420p -g 50 -keyint_min 50 -sc_threshold 0 -b:v 450k -maxrate 600k -bufsize 900k \
  -af volume=0.15 -c:a aac -b:a 64k -ac 1 \
  -flvflags no_duration_filesize -map_metadata -1 -fflags +bitexact sample.flv
