# Writes ggplot2's diamonds data as plain numbers: Rscript diamonds.R OUT.csv
# Columns: carat, cut 1-5, color 1-7, clarity 1-8, depth, table, x, y, z, price.
# The ordered factors become their rank: cut Fair=1 .. Ideal=5,
# color D=1 .. J=7, clarity I1=1 .. IF=8.
out <- commandArgs(trailingOnly = TRUE)[1]
d <- as.data.frame(ggplot2::diamonds)
for (column in c("cut", "color", "clarity")) d[[column]] <- as.integer(d[[column]])
d <- d[, c("carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z", "price")]
write.table(d, out, sep = ",", row.names = FALSE, col.names = FALSE, quote = FALSE)
