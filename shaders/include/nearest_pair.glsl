// Of the models with an update rule: the nearest prototype of all, of the row's class (plus) and of the others (minus).

uint winner_;
uint plus_;
uint minus_;
float d_winner_;
float d_plus_;
float d_minus_;

FN void find(uint i) {
    uint class_ = codes[base + i];
    winner_ = NONE;
    plus_ = NONE;
    minus_ = NONE;
    d_winner_ = LARGEST;
    d_plus_ = LARGEST;
    d_minus_ = LARGEST;
    for (uint j = 0u; j < p; j++) {
        float k = key(i, j);
        bool own = labels[j] == class_;
        if (winner_ == NONE || k < d_winner_) {
            winner_ = j;
            d_winner_ = k;
        }
        if (own && (plus_ == NONE || k < d_plus_)) {
            plus_ = j;
            d_plus_ = k;
        }
        if (!own && (minus_ == NONE || k < d_minus_)) {
            minus_ = j;
            d_minus_ = k;
        }
    }
}
