# gnuplot, in the folder of the CSV files that `paper` wrote: an SVG for each.
set datafile separator ","
set terminal svg size 720,440 dynamic font "sans,13" background "white"
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
set key top right

set output "rate.svg"
set title "Distortion at a given rate, Gaussian vectors of 1536 coordinates"
set xlabel "bits a coordinate, scales included"
set ylabel "mean ‖x − x̂‖² / ‖x‖²"
set logscale y
set format y "10^{%L}"
of(name) = sprintf("< grep '^Gaussian,%s,' rate.csv", name)
plot [1:6] 4.0**(-x) title "Shannon: no quantizer is below" with lines lw 2 lc rgb "#999999", \
     of("MseQuantizer; least squares") using 4:5 title "MseQuantizer, least squares" with linespoints pt 7 lc rgb "#1f6fb2", \
     of("TrellisQuantizer; least squares") using 4:5 title "TrellisQuantizer, least squares" with linespoints pt 13 ps 1.2 lc rgb "#2e8b57", \
     of("TurboQuantizer") using 4:5 title "TurboQuantizer, decoded" with linespoints pt 5 lc rgb "#c8553d", \
     of("absmax; blocks of 32") using 4:5 title "4-bit absmax, blocks of 32" with points pt 9 ps 1.3 lc rgb "#444444"

set output "distortion.svg"
set key outside bottom center horizontal maxcols 2
set title "Distortion and its bounds, ada-002 embeddings (1536 coordinates)"
set xlabel "bits"
set xtics 1
plot [0.8:5.2] "< grep '^ada-002' distortion.csv" using 2:8 title "upper bound, √3π/2·4^{−b}" with lines dt 2 lc rgb "#999999", \
     "" using 2:9 title "lower bound, 4^{−b}" with lines dt 3 lc rgb "#999999", \
     "" using 2:3 title "MseQuantizer ‖x − x̂‖²" with linespoints pt 7 lc rgb "#1f6fb2", \
     "" using 2:10 title "upper bound of d·err², √3π²·4^{−b}" with lines dt 2 lc rgb "#c8553d", \
     "" using 2:5 title "TurboQuantizer d·err², orthogonal S" with linespoints pt 5 lc rgb "#c8553d", \
     "" using 2:6 title "TurboQuantizer d·err², Gaussian S" with linespoints pt 4 lc rgb "#c8553d"
unset logscale y
set key inside top right vertical maxcols 1
set format y "%g"
set xtics autofreq

set output "histogram.svg"
set title "Errors of ⟨q, x̂⟩ at 2 bits"
set xlabel "⟨q, x̂⟩ − ⟨q, x⟩"
set ylabel "share of pairs"
plot "histogram.csv" every ::1 using 1:2 title "MseQuantizer, norm" with steps lc rgb "#999999", \
     "" every ::1 using 1:3 title "TurboQuantizer" with steps lc rgb "#c8553d", \
     "" every ::1 using 1:4 title "MseQuantizer, unbiased" with steps lc rgb "#1f6fb2"

set output "recall.svg"
set title "The nearest vector is among the first k (GloVe-100)"
set xlabel "k"
set ylabel "recall 1@k"
set logscale x 2
set key bottom right
plot [1:64] for [b=1:4] sprintf("< grep '^GloVe-100,%d,' recall.csv", b) using 3:4 title sprintf("%d bit%s", b, b > 1 ? "s" : "") \
     with linespoints pt 7 lc b
unset logscale x
